"""The pipeline on Kubernetes. What repeats is derived by `deploy.k8s.manifests`; Kustomize puts it together."""
