//! What every loop needs: work queue, backoff, leadership, shutdown. Knows no nouns.
