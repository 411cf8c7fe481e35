"""The commit protocol of a batch, written once: content-addressed artifacts, first-writer-wins manifests."""
