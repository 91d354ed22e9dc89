//! The Device trait: what a board is to the driver.
