"""Events for lineage servers, in the form of OpenLineage; off unless its variables are set."""
