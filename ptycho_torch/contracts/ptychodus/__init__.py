"""The contract of Ptychodus: its configuration classes, data loader, model and trainer."""
