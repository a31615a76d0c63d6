//! Clock, seeded chance, ids and spawned tasks: everything that the simulation replaces.
