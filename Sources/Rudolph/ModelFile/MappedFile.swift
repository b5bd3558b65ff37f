import CPlatform

/// A file in memory, read-only, for as long as this object lives.
final class MappedFile {
    let path: String
    let bytes: UnsafeRawBufferPointer
    private let mapping: rp_mapping

    init(path: String) throws(RudolphError) {
        var mapping = rp_mapping()
        let code = path.withCString { rp_map($0, &mapping) }
        guard code == 0, let size = Int(exactly: mapping.size) else {
            throw RudolphError("\(path): cannot be opened: \(code == 0 ? "too large" : String(cString: rp_error_text(code)))")
        }
        self.path = path
        self.mapping = mapping
        bytes = UnsafeRawBufferPointer(start: mapping.bytes, count: size)
    }

    deinit {
        rp_unmap(mapping)
    }

    /// Gives the pages of a range back to the system; they are read from the file again when touched.
    func release(_ range: Range<Int>) {
        rp_advise(mapping, UInt64(range.lowerBound), UInt64(range.count), RP_RELEASE)
    }

    /// Asks the system to read a range ahead.
    func willNeed(_ range: Range<Int>) {
        rp_advise(mapping, UInt64(range.lowerBound), UInt64(range.count), RP_WILL_NEED)
    }
}
