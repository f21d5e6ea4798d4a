"""Middleware (being built)."""
def frame(request):
    return {}
class RequestLogMiddleware:
    def __init__(self, g): self.g=g
    def __call__(self, r): return self.g(r)
class TenantMiddleware(RequestLogMiddleware): pass
