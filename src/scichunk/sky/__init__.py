"""World coordinates of images of the sky."""
