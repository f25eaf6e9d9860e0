//! A simulated gas sensor: the air is clean, now and then something leaks.

use super::random::Random;

/// Readings of which one begins a leak.
const ONE_LEAK_IN: u64 = 150;
/// Readings for which the fans run after an alarm.
const FAN_READINGS: u32 = 12;

/// The sensor and the air around it, not its twin.
#[derive(Clone, Debug)]
pub(super) struct SimulatedSensor {
    ppm: f64,
    leaking: bool,
    fans: u32,
}

impl SimulatedSensor {
    /// A sensor in clean air.
    pub(super) fn new(random: &mut Random) -> Self {
        Self { ppm: random.between(5.0, 30.0), leaking: false, fans: 0 }
    }

    /// Some time passes, and the air is measured.
    pub(super) fn measure(&mut self, random: &mut Random) -> f64 {
        if self.fans > 0 {
            self.fans -= 1;
            self.ppm *= 0.75;
        } else {
            self.leaking |= random.once_in(ONE_LEAK_IN);
            let change = if self.leaking { (15.0, 45.0) } else { (-2.0, 2.0) };
            self.ppm += random.between(change.0, change.1);
        }
        // Clean air drifts within its bounds.
        let most = if self.leaking || self.fans > 0 { 900.0 } else { self.ppm.min(45.0) };
        self.ppm = self.ppm.clamp(1.0, most.max(1.0));
        self.ppm
    }

    /// Does what its twin says: an alarm and a shutdown close the valve and start the fans.
    pub(super) fn obey(&mut self, command: &str) {
        if matches!(command, "alarm" | "shutdown") {
            self.leaking = false;
            self.fans = FAN_READINGS;
        }
    }

    pub(super) fn ppm(&self) -> f64 {
        self.ppm
    }

    pub(super) fn is_ventilating(&self) -> bool {
        self.fans > 0
    }

    pub(super) fn is_leaking(&self) -> bool {
        self.leaking
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_passes_the_spike_and_the_fans_bring_clean_air() {
        let mut random = Random::new(5);
        let mut sensor = SimulatedSensor::new(&mut random);
        let before = (0..50).map(|_| sensor.measure(&mut random)).fold(0.0, f64::max);
        assert!(before <= 50.0 || sensor.is_leaking(), "clean air is below the limit: {before}");
        sensor.leaking = true;
        let spike = (0..20).map(|_| sensor.measure(&mut random)).fold(0.0, f64::max);
        assert!(spike > 200.0, "{spike}");
        sensor.obey("alarm");
        assert!(sensor.is_ventilating() && !sensor.is_leaking());
        let after = (0..FAN_READINGS).map(|_| sensor.measure(&mut random)).last();
        assert!(after.is_some_and(|ppm| ppm < 50.0), "{spike} then {after:?}");
    }
}
