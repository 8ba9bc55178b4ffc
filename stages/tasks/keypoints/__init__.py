"""Where named points are in a picture: corners of eyes, joints, marks."""
