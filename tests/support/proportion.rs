//! What a decoder costs, in proportion to what it is given: the memory that it asks for in all, given back or not. It is counted,
//! so that nothing hangs on how fast a machine is.

const SMALL: usize = 400;
const TIMES: usize = 8;

/// Judges that input of eight times the size costs no more than about eight times as much. `work` tells whether it took the
/// input, which must be the same for both.
pub(crate) fn is_kept<T>(what: &str, input: impl Fn(usize) -> T, work: impl Fn(&T) -> bool) {
    let cost = |size: usize| {
        let input = input(size);
        // What is made once, a pattern or a schema, is made before it is counted.
        let taken = work(&input);
        let counted = allocation_counter::measure(|| assert_eq!(work(&input), taken, "{what}"));
        (taken, counted.bytes_total)
    };
    let ((small_taken, small), (large_taken, large)) = (cost(SMALL), cost(SMALL * TIMES));
    assert_eq!(small_taken, large_taken, "{what}: what is taken does not depend on the size");
    let limit = small * TIMES as u64 * 5 / 4;
    assert!(large <= limit, "{what}: {small} bytes for {SMALL}, {large} for {}", SMALL * TIMES);
}

/// Judges that `work` on `bytes` of input asks for no more than fifty times as much: a few walks over its tree and what is said
/// about it, but nothing that is made again for every fault.
pub(crate) fn is_small(what: &str, bytes: usize, work: impl Fn()) {
    work();
    let counted = allocation_counter::measure(work).bytes_total;
    assert!(counted <= bytes as u64 * 50, "{what}: {counted} bytes for {bytes}");
}
