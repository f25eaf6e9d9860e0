//! A simulated wind turbine: its bearing heats up until somebody tells it to brake.

use super::random::Random;

/// Readings for which a brake command holds.
const BRAKE_READINGS: u32 = 10;
const AMBIENT_CELSIUS: f64 = 40.0;

/// The turbine itself, not its twin.
#[derive(Clone, Debug)]
pub(super) struct SimulatedTurbine {
    celsius: f64,
    braking: u32,
}

impl SimulatedTurbine {
    /// One of a fleet that has been running for different times.
    pub(super) fn new(random: &mut Random) -> Self {
        Self { celsius: random.between(60.0, 93.0), braking: 0 }
    }

    /// Some time passes, and the bearing is measured.
    pub(super) fn measure(&mut self, random: &mut Random) -> f64 {
        if self.braking > 0 {
            self.braking -= 1;
            // A braked bearing loses a part of what it is above its surroundings.
            self.celsius -= (self.celsius - AMBIENT_CELSIUS) * 0.08;
        } else {
            self.celsius += random.between(0.2, 1.8);
        }
        self.celsius += random.between(-0.3, 0.3);
        self.celsius
    }

    /// Does what its twin says.
    pub(super) fn obey(&mut self, command: &str) {
        if command == "brake" {
            self.braking = BRAKE_READINGS;
        }
    }

    pub(super) fn celsius(&self) -> f64 {
        self.celsius
    }

    pub(super) fn is_braking(&self) -> bool {
        self.braking > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_heats_up_and_cools_visibly_when_told_to_brake() {
        let mut random = Random::new(3);
        let mut turbine = SimulatedTurbine::new(&mut random);
        let hot = (0..100).map(|_| turbine.measure(&mut random)).find(|celsius| *celsius > 95.0);
        let hot = hot.expect("it overheats within a hundred readings");
        turbine.obey("dance");
        assert!(!turbine.is_braking());
        turbine.obey("brake");
        let cooled = (0..BRAKE_READINGS).map(|_| turbine.measure(&mut random)).last();
        assert!(cooled.is_some_and(|celsius| celsius < hot - 20.0), "{hot} then {cooled:?}");
        assert!(!turbine.is_braking());
        let warmer = (0..10).map(|_| turbine.measure(&mut random)).last();
        assert!(warmer > cooled);
    }
}
