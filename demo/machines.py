"""What runs at Halyard without a person: the non-human identities, with their purposes. Data only.

A name stands for one account per environment: bare in production, with `-staging` or `-development` elsewhere.
"""

from typing import NamedTuple


class MachinePlan(NamedTuple):
    """One non-human identity in each of its environments; `team` is whose people own it."""

    name: str
    kind: str
    team: str
    purpose: str
    environments: tuple[str, ...] = ("production",)


_TWO = ("production", "staging")
_ALL = ("production", "staging", "development")

CLOUD_MACHINES = (
    MachinePlan("svc-deploy", "service", "Platform", "Rolls approved releases out to the clusters.", _ALL),
    MachinePlan("svc-restore", "service", "Platform", "Restores databases from backup during an incident."),
    MachinePlan("svc-backup", "service", "Platform", "Writes the nightly backups and checks that they open.", _TWO),
    MachinePlan("svc-terraform", "service", "Platform", "Plans and applies infrastructure changes.", _ALL),
    MachinePlan("svc-registry-push", "service", "Platform", "Publishes container images after a green build.", _TWO),
    MachinePlan("svc-dns", "service", "Platform", "Keeps the public and internal zones in step.", _TWO),
    MachinePlan("svc-cert-renewal", "service", "Platform", "Renews the certificates of public endpoints.", _TWO),
    MachinePlan("svc-autoscaler", "service", "Platform", "Adds and removes nodes with the load.", _TWO),
    MachinePlan("svc-metrics", "service", "Platform", "Scrapes metrics from every service.", _ALL),
    MachinePlan("svc-log-shipper", "service", "Platform", "Ships logs to the search cluster.", _TWO),
    MachinePlan("wl-image-scan", "workload", "Security Operations", "Scans images for known weaknesses.", _TWO),
    MachinePlan("svc-siem-ingest", "service", "Security Operations", "Reads the audit trails of all accounts."),
    MachinePlan("svc-key-rotation", "service", "Identity and Access", "Rotates signing keys every quarter.", _TWO),
    MachinePlan("svc-access-export", "service", "Identity and Access", "Exports access lists for the auditors."),
    MachinePlan("svc-edi-inbound", "service", "Integrations", "Receives EDIFACT messages from carriers.", _ALL),
    MachinePlan("svc-edi-outbound", "service", "Integrations", "Sends booking confirmations to carriers.", _TWO),
    MachinePlan("svc-customs-gateway", "service", "Integrations", "Files declarations with customs.", _ALL),
    MachinePlan("svc-port-community", "service", "Integrations", "Exchanges gate slots with the port system.", _TWO),
    MachinePlan("svc-carrier-rates", "service", "Integrations", "Fetches carrier tariffs each morning.", _TWO),
    MachinePlan("svc-sftp-partners", "service", "Integrations", "Collects partner files from the drop zone."),
    MachinePlan("wl-order-events", "workload", "Integrations", "Turns order events into shipments.", _TWO),
    MachinePlan("svc-tracking-api", "service", "Track and Trace", "Serves positions to the customer portal.", _ALL),
    MachinePlan("wl-telematics", "workload", "Track and Trace", "Decodes positions sent by the trucks.", _TWO),
    MachinePlan("wl-eta-refresh", "workload", "Track and Trace", "Recomputes arrival times every ten minutes.", _TWO),
    MachinePlan("svc-notify-sms", "service", "Track and Trace", "Texts consignees about delivery windows."),
    MachinePlan("svc-pricing-api", "service", "Pricing", "Quotes spot rates.", _ALL),
    MachinePlan("wl-fuel-surcharge", "workload", "Pricing", "Derives the weekly fuel surcharge.", _TWO),
    MachinePlan("wl-etl-nightly", "workload", "Data", "Loads the warehouse tables every night.", _TWO),
    MachinePlan("wl-etl-finance", "workload", "Data", "Loads ledgers into the warehouse after closing."),
    MachinePlan("wl-dbt-build", "workload", "Data", "Builds and tests the reporting models.", _ALL),
    MachinePlan("svc-bi-reader", "service", "Data", "Reads reporting tables for the dashboards."),
    MachinePlan("wl-data-quality", "workload", "Data", "Checks freshness and volume of every table.", _TWO),
    MachinePlan("svc-invoice-render", "service", "Billing", "Renders invoices as signed documents.", _TWO),
    MachinePlan("svc-bank-statements", "service", "Treasury", "Fetches bank statements every morning."),
    MachinePlan("svc-payroll-bridge", "service", "Payroll", "Hands approved hours to the payroll bureau."),
    MachinePlan("svc-print-venlo", "service", "Venlo Warehouse", "Prints labels at the packing stations."),
    MachinePlan("svc-print-tilburg", "service", "Tilburg Warehouse", "Prints labels at the packing stations."),
    MachinePlan("wl-cold-sensors", "workload", "Cold Chain", "Reads the temperatures of reefers and cold rooms.", _TWO),
    MachinePlan("shared-gate-kiosk", "shared", "Rotterdam Terminal", "Signs in the kiosks at the truck gate."),
    MachinePlan("shared-control-room", "shared", "Antwerp Terminal", "Signs in the wall displays of the control room."),
    MachinePlan("shared-workshop-tablet", "shared", "Fleet Maintenance", "Signs in the tablets of the workshop."),
    MachinePlan("agent-support-triage", "agent", "Claims", "Sorts incoming claims and drafts first answers.", _TWO),
    MachinePlan("agent-booking-assistant", "agent", "Care Benelux", "Answers booking questions in the portal."),
    MachinePlan("agent-release-notes", "agent", "Platform", "Drafts release notes from merged changes."),
)

LABS_MACHINES = (
    MachinePlan("svc-labs-deploy", "service", "Lab Platform", "Rolls experiments out to the lab cluster.", _TWO),
    MachinePlan("svc-notebooks", "service", "Lab Platform", "Starts and stops notebook servers."),
    MachinePlan("svc-gpu-scheduler", "service", "Lab Platform", "Queues training jobs on the shared cards.", _TWO),
    MachinePlan("svc-artifact-store", "service", "Lab Platform", "Keeps models and their evaluation results.", _TWO),
    MachinePlan("svc-labs-backup", "service", "Lab Platform", "Copies experiment data to cold storage."),
    MachinePlan("svc-labs-metrics", "service", "Lab Platform", "Collects metrics of training jobs."),
    MachinePlan("wl-feature-store", "workload", "Lab Platform", "Materialises features for training.", _ALL),
    MachinePlan("wl-train-eta", "workload", "Route Optimisation", "Trains the arrival time model every week.", _TWO),
    MachinePlan("wl-route-solver", "workload", "Route Optimisation", "Solves tomorrow's tours overnight.", _ALL),
    MachinePlan("wl-map-import", "workload", "Route Optimisation", "Imports road closures and restrictions.", _TWO),
    MachinePlan("wl-train-demand", "workload", "Demand Forecasting", "Trains the lane demand model.", _TWO),
    MachinePlan("wl-backtest", "workload", "Demand Forecasting", "Replays last year's bookings against a model."),
    MachinePlan("svc-forecast-api", "service", "Demand Forecasting", "Serves forecasts to planning.", _TWO),
    MachinePlan("agent-doc-reader", "agent", "Document Agents", "Reads bills of lading into fields.", _ALL),
    MachinePlan("agent-customs-draft", "agent", "Document Agents", "Drafts declarations for a person to check.", _TWO),
    MachinePlan("wl-ocr-batch", "workload", "Document Agents", "Recognises text on scanned documents."),
    MachinePlan("agent-support-chat", "agent", "Support Agents", "Talks to customers in the trial market.", _TWO),
    MachinePlan("agent-complaint-summary", "agent", "Support Agents", "Summarises long complaint threads."),
    MachinePlan(
        "agent-red-team", "agent", "Support Agents", "Attacks the other agents in a sandbox.", ("development",)
    ),
    MachinePlan("svc-eval-runner", "service", "Support Agents", "Scores agent answers before a release.", _TWO),
    MachinePlan("wl-robot-telemetry", "workload", "Robotics Bench", "Streams joint data from the picking arm."),
    MachinePlan("shared-bench-console", "shared", "Robotics Bench", "Signs in the console beside the picking arm."),
    MachinePlan("svc-robot-control", "service", "Robotics Bench", "Sends motion plans to the picking arm.", _TWO),
)
