"""The alpha: kept, judged, and fitted to its photo."""
