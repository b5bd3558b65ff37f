/// Whether all of `count` values are numbers, and none infinite.
@inline(__always)
func areFinite(_ values: UnsafePointer<Float>, _ count: Int) -> Bool {
    var bits: UInt32 = 0
    // Without branches, so that the compiler takes many at once: an exponent of nothing but ones carries into the sign.
    for index in 0..<count { bits |= (values[index].bitPattern & 0x7fff_ffff) &+ 0x0080_0000 }
    return bits >> 31 == 0
}
