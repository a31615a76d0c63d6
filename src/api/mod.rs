//! The nouns: specs, statuses, defaults, validation and CRDs of our kinds. Data only.
