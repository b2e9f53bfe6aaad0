"""Unattended retraining each night: inbox, training, quality gate, publishing."""
