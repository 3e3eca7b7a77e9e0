"""What is decided about a picture, a text or a video: pure."""
