"""Pictures of an item as browsers show them: thumbnails, sources, alphas."""
