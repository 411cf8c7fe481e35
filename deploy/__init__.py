"""How the product is put on machines: containers, Kubernetes, and the local stack without either."""
