import Rudolph

/// Writes the tensors of a packed file in standard GGUF types, for other tools.
public enum Export {
    /// What packed matrices become.
    public enum StandardType: String, CaseIterable, Sendable {
        case f32, f16
        /// f16 where a row is not whole blocks of 32.
        case q8_0
    }

    /// What was written.
    public struct Report: Sendable {
        public internal(set) var fileSize = 0
        /// The number of tensors of each type, the most frequent type first.
        public internal(set) var tensors: [(type: String, count: Int)] = []
    }

    /// Writes `output` with every packed matrix as plain rows of `type`, convolutions in the reference's order [out, in, ky, kx]. Metadata is
    /// kept, but for what is true of the packed weights only. Stops when `progress` returns false.
    public static func run(
        input: String, output: String, type: StandardType, threads: Int, progress: (ConversionProgress) -> Bool = { _ in true }
    ) throws(ConversionError) -> Report {
        typealias Key = FileSchema.Key
        try AtomicFile.check(output, isNoneOf: [input])
        let file = try GGUF(input: input)
        let packed: [String: PackedShape], image: ImageTokenizerConfiguration
        do throws(RudolphError) {
            try Model.checkKind(of: file)
            packed = try file.packedShapes()
            image = try Configuration(file).imageTokenizer
        } catch {
            throw .runtime(message: error.message)
        }
        func failure(_ reason: String) -> ConversionError { .invalid(file: input, reason: reason) }
        var shapes: [String: [Int]] = [:]
        for (name, shape) in image.tensors where shape.count == 4 { shapes[FileSchema.imageTokenizerPrefix + name] = shape }

        var plan: [(file: String, tensor: StoredTensor)] = []
        // Keys and values are of the packed weights, not of those that are written here.
        for tensor in file.tensors where tensor.name != FileSchema.captionLeftText {
            let bytes = UnsafeRawBufferPointer(rebasing: file.file.bytes[tensor.range])
            if let entry = packed[tensor.name] {
                guard (1...1 << 30).contains(entry.rows), (1...1 << 30).contains(entry.columns) else {
                    throw failure("\(tensor.name): \(entry.rows) rows and \(entry.columns) columns make no sense")
                }
                let encoding = Encoding.packed(entry.type)
                guard encoding.bytes(rows: entry.rows, columns: entry.columns) == bytes.count else {
                    throw failure("\(tensor.name) has \(bytes.count) bytes, expected \(encoding.bytes(rows: entry.rows, columns: entry.columns))")
                }
                let kernel = shapes[tensor.name].map { $0[2] * $0[3] } ?? 1
                guard entry.columns.isMultiple(of: kernel) else { throw failure("\(tensor.name) has \(entry.columns) columns") }
                let source = EncodedRows(
                    rows: entry.rows, columns: entry.columns, encoding: encoding, kernel: kernel, bytes: bytes, file: file.file)
                let rowLength = shapes[tensor.name].map { $0[3] } ?? entry.columns
                plan.append((input, StoredTensor(tensor.name, .attention, source, Self.encoding(type, rowLength), shape: shapes[tensor.name])))
            } else {
                let columns = tensor.dimensions[0], rows = tensor.dimensions.dropFirst().reduce(1, *)
                let encoding: Encoding
                switch tensor.type {
                case .f32: encoding = .f32
                case .f16: encoding = .f16
                case .q8_0: encoding = .q8_0
                case .i8: throw failure("\(tensor.name) is neither packed nor of a standard type")
                }
                let source = EncodedRows(rows: rows, columns: columns, encoding: encoding, kernel: 1, bytes: bytes, file: file.file)
                plan.append((input, StoredTensor(tensor.name, .vectors, source, encoding, shape: tensor.dimensions.reversed())))
            }
        }
        let dropped = [
            Key.weightType, Key.calibratedPositions, Key.leftTextActivations,
            Key.packedNames, Key.packedTypes, Key.packedRows, Key.packedColumns, Key.tensorHashes,
            Key.headerHash,
        ]
        let metadata = file.metadata.filter { !dropped.contains($0.key) }.map {
            (key: $0.key, value: MetadataValue.copied([UInt8](file.file.bytes[$0.range])))
        }
        var report = Report()
        report.fileSize = try PackedFileWriter.write(output, metadata: metadata, tensors: plan, threads: threads, progress: progress)
        for (_, tensor) in plan {
            let name = "\(tensor.encoding)"
            if let index = report.tensors.firstIndex(where: { $0.type == name }) {
                report.tensors[index].count += 1
            } else {
                report.tensors.append((name, 1))
            }
        }
        report.tensors.sort { $0.count > $1.count }
        return report
    }

    /// Blocks of Q8_0 may not cross the container's rows.
    private static func encoding(_ type: StandardType, _ rowLength: Int) -> Encoding {
        switch type {
        case .f32: .f32
        case .q8_0 where rowLength.isMultiple(of: 32): .q8_0
        default: .f16
        }
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
