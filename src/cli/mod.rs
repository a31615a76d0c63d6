//! kubectl-like verbs and printers, over HTTP through the `kube` client.
