"""What every program that connects to the outside needs to know of addresses."""
