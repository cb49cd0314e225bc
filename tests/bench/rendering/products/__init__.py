"""What is photographed, by family; a product stands on z = 0 and may have any size."""
