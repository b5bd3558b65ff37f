/// Random numbers that are the same on every CPU: xoshiro256**, seeded by SplitMix64 (Blackman and Vigna, prng.di.unimi.it).
struct RandomGenerator {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    /// A generator of its own for each stream of one seed, so that the n-th candidate does not depend on how candidates are batched.
    init(seed: UInt64, stream: Int = 0) {
        var mixer = SplitMix64(state: seed &+ 0xd1b5_4a32_d192_ed03 &* UInt64(truncatingIfNeeded: stream))
        state = (mixer.next(), mixer.next(), mixer.next(), mixer.next())
    }

    mutating func next() -> UInt64 {
        let product = state.1 &* 5
        let result = (product << 7 | product >> 57) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = state.3 << 45 | state.3 >> 19
        return result
    }

    /// Uniform in 0 ..< 1, 24 bits.
    mutating func uniform() -> Float {
        Float(next() >> 40) * 0x1p-24
    }
}

/// Steele, Lea and Flood's generator: the same numbers everywhere. One word of state: to seed and to shuffle, not to draw with.
package struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    package init(state: UInt64) {
        self.state = state
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
