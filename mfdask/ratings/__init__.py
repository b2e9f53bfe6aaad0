"""Sources of raw ratings: files, downloads, frames and synthetic ratings."""
