/// Writes a GGUF file whose header is known but for its digests: room for the header first, then the tensors in order, the header at last.
final class PackedFileWriter {
    private let file: AtomicFile
    private let headerSize: Int

    /// `header` lists the tensors that will follow.
    init(path: String, header: GGUF.Header) throws(ConversionError) {
        var complete = header
        complete[FileSchema.Key.tensorHashes] = .strings(header.tensors.map { _ in FileSchema.noHash })
        complete[FileSchema.Key.headerHash] = .string(FileSchema.noHash)
        headerSize = complete.serialized().count
        file = try AtomicFile(path: path)
        try file.append(zeros: headerSize)
    }

    /// Appends bytes of the current tensor.
    func append(_ bytes: UnsafeRawBufferPointer) throws(ConversionError) { try file.append(bytes) }

    /// Ends a tensor: zeros up to the alignment.
    func pad() throws(ConversionError) { try file.append(zeros: GGUF.aligned(file.size) - file.size) }

    /// Writes the header, which is the first one with the tensors' digests, adds its own digest, and lets the file appear. Returns the
    /// file's size.
    func finish(_ header: GGUF.Header) throws(ConversionError) -> Int {
        var header = header
        header[FileSchema.Key.headerHash] = .string(FileSchema.noHash)
        header[FileSchema.Key.headerHash] = .string(header.serialized().withUnsafeBytes(SHA256.hexDigest))
        let bytes = header.serialized()
        guard bytes.count == headerSize else {
            throw .invalid(file: "header", reason: "has \(bytes.count) bytes, \(headerSize) were reserved")
        }
        let result: Result<Void, ConversionError> = bytes.withUnsafeBytes { bytes in
            Result { () throws(ConversionError) in try file.write(bytes, at: 0) }
        }
        try result.get()
        try file.commit()
        return file.size
    }
}
