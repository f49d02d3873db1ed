"""Options and plans of the flows: the parameters of a run, and the work that follows from them. Imports no Prefect."""
