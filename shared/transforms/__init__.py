"""The steps of a dataset's `transform:`: checked when its file is read, and run on files, in processes of their own."""
