"""What can be asked of the tool, one file a job."""
