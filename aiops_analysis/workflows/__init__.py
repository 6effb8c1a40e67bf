"""The only floor that joins sources, history and analysis; called alike by notebooks and the command line."""
