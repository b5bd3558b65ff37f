import CPlatform

/// A file in memory, read-only, for as long as this object lives.
package final class MappedFile: @unchecked Sendable {
    package let path: String
    /// The whole file, at least one byte.
    package let bytes: UnsafeRawBufferPointer
    private let mapping: rp_mapping

    /// Fails when the file cannot be opened, is not a regular file or is empty.
    package init(path: String) throws(RudolphError) {
        guard !path.isEmpty else { throw RudolphError("an empty name for a file to read") }
        var mapping = rp_mapping()
        let code = path.withCString { rp_map($0, &mapping) }
        guard code == 0, let size = Int(exactly: mapping.size) else {
            // Codes below 0 are no errors of the system: an empty file, none that could be mapped.
            throw RudolphError(
                "\(path): cannot be opened: \(code == 0 ? "too large" : String(cString: rp_error_text(code)))",
                kind: code <= 0 ? .invalidFile : .system)
        }
        self.path = path
        self.mapping = mapping
        bytes = UnsafeRawBufferPointer(start: mapping.bytes, count: size)
    }

    deinit {
        rp_unmap(mapping)
    }

    /// Gives the whole pages of a range back to the system; they are read from the file again when touched.
    func release(_ range: Range<Int>) {
        rp_release(mapping, UInt64(range.lowerBound), UInt64(range.count))
    }

    /// Gives all of them back. A page fault maps its neighbours too, so parts that were released before may be there again.
    package func release() {
        release(0..<bytes.count)
    }
}
