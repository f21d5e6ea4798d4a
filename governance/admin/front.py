"""Is the roll complete, and what waits for me?"""

from django.http import HttpResponse
from django.shortcuts import render

from accounts.rules import Word
from governance import dashboard
from governance.pages import PageRequest, page


@page(Word.ROLL_READ)
def front(request: PageRequest) -> HttpResponse:
    """The first page of a tenant."""
    return render(request, "pages/front.html", {"front": dashboard.front(tenant=request.tenant, at=request.at)})
