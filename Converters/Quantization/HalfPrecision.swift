/// IEEE half precision, as bit patterns.
package enum HalfPrecision {
    /// Exact. Written without branches so that a loop over it becomes vector code on a CPU without half precision.
    @inline(__always)
    package static func toFloat(_ half: UInt16) -> Float {
        let magnitude = Float(bitPattern: UInt32(half & 0x7FFF) &<< 13) * 0x1p112
        let special: UInt32 = magnitude.bitPattern >= 0x4780_0000 ? 0x7F80_0000 : 0
        return Float(bitPattern: magnitude.bitPattern | special | UInt32(half & 0x8000) &<< 16)
    }

    /// Rounds to nearest, ties to even.
    @inline(__always)
    package static func fromFloat(_ value: Float) -> UInt16 { Float16(value).bitPattern }

    /// `source` needs no alignment.
    package static func toFloats(_ source: UnsafeRawPointer, count: Int, _ destination: UnsafeMutablePointer<Float>) {
        for index in 0..<count {
            destination[index] = toFloat(source.loadUnaligned(fromByteOffset: index &* 2, as: UInt16.self))
        }
    }
}
