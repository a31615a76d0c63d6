//! The loops, one short file each: observe, plan, act, report.
