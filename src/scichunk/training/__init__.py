"""Patches of images for training and prediction: the order of reading is planned, so that each chunk is decoded once an epoch."""
