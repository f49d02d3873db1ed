"""Options and plans of the flows: what a run is asked for, and which work follows from it. No Prefect here."""
