//! Which records of a segment are done with: a bit each.

/// A set of small numbers.
#[derive(Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn get(&self, number: u32) -> bool {
        let word = self.0.get(number as usize / 64);
        word.is_some_and(|word| word >> (number % 64) & 1 != 0)
    }

    /// Adds a number; whether it is new.
    pub(super) fn set(&mut self, number: u32) -> bool {
        let place = number as usize / 64;
        if place >= self.0.len() {
            self.0.resize(place + 1, 0);
        }
        let bit = 1 << (number % 64);
        let is_new = self.0[place] & bit == 0;
        self.0[place] |= bit;
        is_new
    }
}

/// What the `.ack` file of a segment said.
#[derive(Debug, Default)]
pub(super) struct Acks {
    pub(super) settled: Bits,
    pub(super) sent: Bits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_apart() {
        let mut bits = Bits::default();
        assert!(bits.set(64) && bits.set(0) && !bits.set(64));
        let held: Vec<u32> = (0..200).filter(|number| bits.get(*number)).collect();
        assert_eq!(held, [0, 64]);
    }
}
