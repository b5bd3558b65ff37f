import Foundation

/// What an encoding did to the values it was given.
public struct Distortion: Equatable, Sendable {
    /// Values compared.
    public private(set) var count = 0
    /// Sum of the squares of the original values.
    public private(set) var signal = 0.0
    /// Sum of the squares of the differences.
    public private(set) var noise = 0.0
    /// Values that were not 0 and became 0.
    public private(set) var zeroed = 0

    public init() {}

    /// Signal-to-noise ratio in decibels; infinite where nothing was lost.
    public var signalToNoise: Double { noise == 0 ? .infinity : 10 * log10(signal / noise) }

    /// Root mean square of the differences, relative to that of the values.
    public var relativeError: Double { noise == 0 ? 0 : (noise / signal).squareRoot() }

    /// Values that became 0, as a share of all.
    public var zeroedShare: Double { count == 0 ? 0 : Double(zeroed) / Double(count) }

    public static func += (sum: inout Distortion, other: Distortion) {
        sum.count += other.count
        sum.signal += other.signal
        sum.noise += other.noise
        sum.zeroed += other.zeroed
    }

    /// Compares `count` values. Not-a-number and infinity make `signal` or `noise` not finite.
    init(of original: UnsafePointer<Float>, _ coded: UnsafePointer<Float>, count: Int) {
        var signals = SIMD4<Double>(), noises = SIMD4<Double>(), zeros = 0
        let whole = count & ~3
        for index in stride(from: 0, to: whole, by: 4) {
            let value = SIMD4<Double>(
                Double(original[index]), Double(original[index + 1]), Double(original[index + 2]), Double(original[index + 3]))
            let difference =
                value
                - SIMD4<Double>(Double(coded[index]), Double(coded[index + 1]), Double(coded[index + 2]), Double(coded[index + 3]))
            signals += value * value
            noises += difference * difference
        }
        for index in whole..<count {
            let value = Double(original[index]), difference = value - Double(coded[index])
            signals[0] += value * value
            noises[0] += difference * difference
        }
        for index in 0..<count where coded[index] == 0 && original[index] != 0 { zeros += 1 }
        self.count = count
        self.signal = signals.sum()
        self.noise = noises.sum()
        self.zeroed = zeros
    }
}
