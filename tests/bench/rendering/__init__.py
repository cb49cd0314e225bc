"""Product pictures, path-traced from models that code makes: photograph, alpha and foreground of one scene."""
