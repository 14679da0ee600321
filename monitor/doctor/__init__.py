"""The doctor: is a workspace fit to run?"""
