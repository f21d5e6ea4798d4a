"""How Halyard is organised: departments, teams with their number of members, and titles. Data only."""

from typing import NamedTuple


class TeamPlan(NamedTuple):
    """A team to be filled: its department, its name, how many people with its lead, and the titles of its members."""

    department: str
    name: str
    size: int
    titles: tuple[str, ...]


class DepartmentPlan(NamedTuple):
    """A department and the title of the person who heads it."""

    name: str
    head_title: str


HALYARD_DEPARTMENTS = (
    DepartmentPlan("Operations", "Chief Operating Officer"),
    DepartmentPlan("Warehousing", "Director of Warehousing"),
    DepartmentPlan("Customer Care", "Director of Customer Care"),
    DepartmentPlan("Sales", "Chief Commercial Officer"),
    DepartmentPlan("Finance", "Chief Financial Officer"),
    DepartmentPlan("Engineering", "Chief Technology Officer"),
    DepartmentPlan("Security", "Chief Information Security Officer"),
    DepartmentPlan("People", "Chief People Officer"),
    DepartmentPlan("Legal", "General Counsel"),
)

_PLANNER = ("Freight Planner", "Senior Freight Planner", "Route Planner", "Dispatch Coordinator")
_TERMINAL = ("Terminal Operator", "Yard Supervisor", "Shift Lead", "Crane Operator", "Gate Clerk")
_WAREHOUSE = ("Warehouse Associate", "Forklift Operator", "Inventory Clerk", "Shift Supervisor", "Returns Clerk")
_CARE = ("Customer Care Agent", "Senior Customer Care Agent", "Claims Handler", "Shipment Tracer")
_SALES = ("Account Executive", "Account Manager", "Sales Development Representative", "Tender Specialist")
_FINANCE = ("Accountant", "Senior Accountant", "Billing Specialist", "Financial Analyst")
_ENGINEER = ("Software Engineer", "Senior Software Engineer", "Staff Engineer", "Quality Engineer")
_PLATFORM = ("Platform Engineer", "Senior Platform Engineer", "Site Reliability Engineer", "Database Engineer")
_DATA = ("Data Engineer", "Analytics Engineer", "Data Analyst", "Senior Data Engineer")
_SECURITY = ("Security Engineer", "Identity Analyst", "Security Analyst")
_PEOPLE = ("People Partner", "Recruiter", "Payroll Specialist", "Learning Coordinator")
_LEGAL = ("Legal Counsel", "Customs Compliance Officer", "Contract Manager")

HALYARD_TEAMS = (
    TeamPlan("Operations", "Road Planning North", 14, _PLANNER),
    TeamPlan("Operations", "Road Planning South", 12, _PLANNER),
    TeamPlan("Operations", "Rail Desk", 10, _PLANNER),
    TeamPlan("Operations", "Ocean Desk", 12, _PLANNER),
    TeamPlan("Operations", "Customs Desk", 9, ("Customs Declarant", "Senior Customs Declarant", "Tariff Specialist")),
    TeamPlan("Operations", "Rotterdam Terminal", 16, _TERMINAL),
    TeamPlan("Operations", "Antwerp Terminal", 14, _TERMINAL),
    TeamPlan("Operations", "Fleet Maintenance", 12, ("Fleet Technician", "Workshop Planner", "Parts Clerk")),
    TeamPlan("Warehousing", "Venlo Warehouse", 19, _WAREHOUSE),
    TeamPlan("Warehousing", "Tilburg Warehouse", 17, _WAREHOUSE),
    TeamPlan("Warehousing", "Cold Chain", 13, _WAREHOUSE),
    TeamPlan("Warehousing", "Stock Control", 9, ("Stock Controller", "Inventory Analyst")),
    TeamPlan("Customer Care", "Care Benelux", 13, _CARE),
    TeamPlan("Customer Care", "Care Nordics", 10, _CARE),
    TeamPlan("Customer Care", "Care Iberia", 9, _CARE),
    TeamPlan("Customer Care", "Claims", 8, _CARE),
    TeamPlan("Sales", "Key Accounts", 9, _SALES),
    TeamPlan("Sales", "Mid Market", 10, _SALES),
    TeamPlan("Sales", "Tenders", 7, _SALES),
    TeamPlan("Sales", "Sales Operations", 5, ("Sales Operations Analyst", "CRM Administrator")),
    TeamPlan("Finance", "Billing", 9, _FINANCE),
    TeamPlan("Finance", "General Ledger", 7, _FINANCE),
    TeamPlan("Finance", "Treasury", 5, ("Treasury Analyst", "Cash Manager")),
    TeamPlan("Engineering", "Platform", 10, _PLATFORM),
    TeamPlan("Engineering", "Integrations", 9, _ENGINEER),
    TeamPlan("Engineering", "Track and Trace", 10, _ENGINEER),
    TeamPlan("Engineering", "Pricing", 8, _ENGINEER),
    TeamPlan("Engineering", "Data", 9, _DATA),
    TeamPlan("Engineering", "Workplace IT", 8, ("Workplace Engineer", "Service Desk Agent", "Network Engineer")),
    TeamPlan("Security", "Identity and Access", 6, _SECURITY),
    TeamPlan("Security", "Security Operations", 7, _SECURITY),
    TeamPlan("People", "People Partners", 7, _PEOPLE),
    TeamPlan("People", "Payroll", 6, _PEOPLE),
    TeamPlan("Legal", "Trade Compliance", 7, _LEGAL),
    TeamPlan("Legal", "Contracts", 6, _LEGAL),
)

LABS_DEPARTMENTS = (
    DepartmentPlan("Research", "Director of Research"),
    DepartmentPlan("Applied Learning", "Director of Applied Learning"),
    DepartmentPlan("Lab Operations", "Director of Lab Operations"),
)

_RESEARCH = ("Research Scientist", "Senior Research Scientist", "Research Engineer")
_LEARNING = ("Machine Learning Engineer", "Senior Machine Learning Engineer", "Applied Scientist")

LABS_TEAMS = (
    TeamPlan("Research", "Route Optimisation", 9, _RESEARCH),
    TeamPlan("Research", "Demand Forecasting", 8, _RESEARCH),
    TeamPlan("Applied Learning", "Document Agents", 9, _LEARNING),
    TeamPlan("Applied Learning", "Support Agents", 8, _LEARNING),
    TeamPlan("Lab Operations", "Lab Platform", 10, _PLATFORM),
    TeamPlan("Lab Operations", "Robotics Bench", 8, ("Robotics Technician", "Mechatronics Engineer", "Test Engineer")),
)
