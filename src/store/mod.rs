//! Versioned documents: the contract of etcd, cut to what is needed.
