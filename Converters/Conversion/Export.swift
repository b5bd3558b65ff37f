/// Writes the tensors of a packed file in standard GGUF types, for other tools.
public enum Export {
    /// Writes `output` with every packed matrix as plain rows of `type` (f16 or f32, or Q8_0 for `int8` where a row is whole blocks of 32),
    /// convolutions in the reference's order [out, in, ky, kx]. Metadata is kept, but for what describes panels. Stops when
    /// `progress` returns false. Returns the size of the new file.
    public static func run(
        input: String, output: String, type: WeightType, threads: Int, progress: (ConversionProgress) -> Bool = { _ in true }
    ) throws(ConversionError) -> Int {
        typealias Key = FileSchema.Key
        try AtomicFile.check(output, isNoneOf: [input])
        let file = try MappedFile(path: input)
        let (header, dataOffset) = try GGUF.Header.read(file)
        func failure(_ reason: String) -> ConversionError { .invalid(file: input, reason: reason) }
        guard header[Key.architecture] == .string(FileSchema.architecture), header[Key.version] == .uint32(FileSchema.version),
            case .strings(let names)? = header[Key.packedNames], case .uint32s(let types)? = header[Key.packedTypes],
            case .uint32s(let rows)? = header[Key.packedRows], case .uint32s(let columns)? = header[Key.packedColumns],
            names.count == types.count, names.count == rows.count, names.count == columns.count
        else { throw failure("is no packed model of format \(FileSchema.version)") }
        var packed: [String: (type: WeightType, rows: Int, columns: Int)] = [:]
        for (index, name) in names.enumerated() {
            guard let type = WeightType(rawValue: types[index]), (1...1 << 30).contains(rows[index]), (1...1 << 30).contains(columns[index])
            else { throw failure("\(name): type \(types[index]), \(rows[index]) rows, \(columns[index]) columns make no sense") }
            packed[name] = (type, Int(rows[index]), Int(columns[index]))
        }
        let shapes = try imageShapes(header, input)

        var plan: [(file: String, tensor: StoredTensor)] = []
        // Keys and values are of the packed weights, not of those that are written here.
        for tensor in header.tensors where tensor.name != FileSchema.captionLeftText {
            let start = dataOffset + tensor.offset
            let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[start..<start + tensor.bytes])
            if let entry = packed[tensor.name] {
                let encoding = Encoding.packed(entry.type)
                guard encoding.bytes(rows: entry.rows, columns: entry.columns) == tensor.bytes else {
                    throw failure("\(tensor.name) has \(tensor.bytes) bytes, expected \(encoding.bytes(rows: entry.rows, columns: entry.columns))")
                }
                let kernel = shapes[tensor.name].map { $0[2] * $0[3] } ?? 1
                guard entry.columns.isMultiple(of: kernel) else { throw failure("\(tensor.name) has \(entry.columns) columns") }
                let source = EncodedRows(
                    rows: entry.rows, columns: entry.columns, encoding: encoding, kernel: kernel, bytes: bytes, file: file)
                let rowLength = shapes[tensor.name].map { $0[3] } ?? entry.columns
                plan.append((input, StoredTensor(tensor.name, .attention, source, standard(type, rowLength), shape: shapes[tensor.name])))
            } else {
                let columns = tensor.dimensions[0], rows = tensor.dimensions.dropFirst().reduce(1, *)
                let encoding: Encoding
                switch tensor.type {
                case .f32: encoding = .f32
                case .f16: encoding = .f16
                case .q8_0: encoding = .q8_0
                case .i8: throw failure("\(tensor.name) is neither packed nor of a standard type")
                }
                let source = EncodedRows(rows: rows, columns: columns, encoding: encoding, kernel: 1, bytes: bytes, file: file)
                plan.append((input, StoredTensor(tensor.name, .vectors, source, encoding, shape: tensor.dimensions.reversed())))
            }
        }
        let dropped = [Key.packedNames, Key.packedTypes, Key.packedRows, Key.packedColumns, Key.tensorHashes, Key.headerHash]
        return try PackedFileWriter.write(
            output, metadata: header.metadata.filter { !dropped.contains($0.key) }, tensors: plan, threads: threads, progress: progress)
    }

    /// Blocks of Q8_0 may not cross the container's rows.
    private static func standard(_ type: WeightType, _ rowLength: Int) -> Encoding {
        switch type {
        case .f32: .f32
        case .int8 where rowLength.isMultiple(of: 32): .q8_0
        default: .f16
        }
    }

    /// The shapes of the image tokenizer's convolutions by name.
    private static func imageShapes(_ header: GGUF.Header, _ file: String) throws(ConversionError) -> [String: [Int]] {
        guard let image = ImageTokenizerConfiguration(header) else {
            throw .invalid(file: file, reason: "its image tokenizer is not described")
        }
        var shapes: [String: [Int]] = [:]
        for (name, shape) in image.tensors where shape.count == 4 { shapes[FileSchema.imageTokenizerPrefix + name] = shape }
        return shapes
    }
}

/// A matrix inside a mapped GGUF file.
private struct EncodedRows: RowSource {
    let rows: Int
    let columns: Int
    let encoding: Encoding
    /// Kernel positions: columns lie in the order (position, channel) and are read in the order (channel, position).
    let kernel: Int
    nonisolated(unsafe) let bytes: UnsafeRawBufferPointer
    let file: MappedFile

    func copy(rows range: Range<Int>, to destination: UnsafeMutablePointer<Float>) {
        // Rows are encoded in groups; read the groups that hold the range.
        let together = encoding.rowsTogether
        let first = range.lowerBound / together * together
        let last = min(rows, (range.upperBound + together - 1) / together * together)
        guard first < last, let base = bytes.baseAddress else { return }
        withUnsafeTemporaryAllocation(of: Float.self, capacity: (last - first) * columns) { values in
            guard let values = values.baseAddress else { return }
            encoding.decode(base + encoding.bytes(rows: first, columns: columns), rows: last - first, columns: columns, to: values)
            let channels = columns / kernel
            for row in range {
                let source = values + (row - first) * columns, target = destination + (row - range.lowerBound) * columns
                for channel in 0..<channels {
                    for position in 0..<kernel { target[channel * kernel + position] = source[position * channels + channel] }
                }
            }
        }
    }

    func release() { file.release() }
}
