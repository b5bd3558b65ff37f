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
        try AtomicFile.check(output, isNoneOf: [input])
        let source = try Source(input)
        // Keys and values are of the packed weights, not of those that are written here.
        var plan: [(file: String, tensor: StoredTensor)] = []
        let leftText = [FileSchema.captionLeftText, FileSchema.captionLeftTextScales]
        for tensor in source.file.tensors where !leftText.contains(tensor.name) {
            plan.append((input, try source.plain(tensor, as: type)))
        }
        var report = Report()
        report.fileSize = try PackedFileWriter.write(
            output, metadata: source.plainMetadata, tensors: plan, threads: threads, progress: progress)
        for (_, tensor) in plan { report.count(tensor) }
        report.tensors.sort { $0.count > $1.count }
        return report
    }
}

extension Export.Report {
    fileprivate mutating func count(_ tensor: StoredTensor) {
        let name = "\(tensor.encoding)"
        if let index = tensors.firstIndex(where: { $0.type == name }) {
            tensors[index].count += 1
        } else {
            tensors.append((name, 1))
        }
    }
}

/// A packed file that is exported.
private struct Source {
    let file: GGUF
    private let packed: [String: PackedShape]
    /// Of the convolutions, [out, in, ky, kx].
    private var convolutions: [String: [Int]] = [:]

    init(_ path: String) throws(ConversionError) {
        file = try GGUF(input: path)
        let image: ImageTokenizerConfiguration
        do throws(RudolphError) {
            try Model.checkKind(of: file)
            packed = try file.packedShapes()
            image = try Configuration(file).imageTokenizer
        } catch {
            throw .runtime(message: error.message)
        }
        for (name, shape) in image.tensors where shape.count == 4 { convolutions[FileSchema.imageTokenizerPrefix + name] = shape }
    }

    private func failure(_ reason: String) -> ConversionError { .invalid(file: file.file.path, reason: reason) }

    /// Without what is true of the packed weights only.
    var plainMetadata: [(key: String, value: MetadataValue)] {
        typealias Key = FileSchema.Key
        let dropped = [
            Key.weightType, Key.calibratedPositions, Key.leftTextActivations, Key.packedNames, Key.packedTypes, Key.packedRows,
            Key.packedColumns, Key.tensorHashes, Key.headerHash,
        ]
        return file.metadata.filter { !dropped.contains($0.key) }.map { ($0.key, .copied([UInt8](file.file.bytes[$0.range]))) }
    }

    /// How `tensor` is written: a packed matrix as rows of `type`, anything else as it is.
    func plain(_ tensor: GGUF.Tensor, as type: Export.StandardType) throws(ConversionError) -> StoredTensor {
        if let shape = packed[tensor.name] { return try unpacked(tensor, shape, as: type) }
        let encoding: Encoding
        switch tensor.type {
        case .f32: encoding = .f32
        case .f16: encoding = .f16
        case .q8_0: encoding = .q8_0
        case .i8: throw failure("\(tensor.name) is neither packed nor of a standard type")
        }
        let source = rows(of: tensor, tensor.dimensions.dropFirst().reduce(1, *), columns: tensor.dimensions[0], encoding)
        return StoredTensor(tensor.name, .vectors, source, encoding, shape: tensor.dimensions.reversed())
    }

    private func unpacked(
        _ tensor: GGUF.Tensor, _ matrix: PackedShape, as type: Export.StandardType
    ) throws(ConversionError) -> StoredTensor {
        let encoding = Encoding.packed(matrix.type)
        guard let shape = convolutions[tensor.name] else {
            let source = rows(of: tensor, matrix.rows, columns: matrix.columns, encoding)
            return StoredTensor(tensor.name, .attention, source, Self.encoding(type, matrix.columns))
        }
        guard matrix.rows == shape[0], matrix.columns == shape[1...].reduce(1, *) else {
            throw failure(
                "\(tensor.name) has \(matrix.rows) rows and \(matrix.columns) columns, expected \(shape[0]) and \(shape[1...].reduce(1, *)), "
                    + "the shape \(shape) in this image tokenizer")
        }
        let source = rows(of: tensor, matrix.rows, columns: matrix.columns, encoding, kernel: shape[2] * shape[3])
        return StoredTensor(tensor.name, .attention, source, Self.encoding(type, shape[3]), shape: shape)
    }

    private func rows(of tensor: GGUF.Tensor, _ rows: Int, columns: Int, _ encoding: Encoding, kernel: Int = 1) -> EncodedRows {
        EncodedRows(
            rows: rows, columns: columns, encoding: encoding, kernel: kernel,
            bytes: UnsafeRawBufferPointer(rebasing: file.file.bytes[tensor.range]), file: file.file)
    }

    /// Blocks of Q8_0 may not cross the container's rows.
    private static func encoding(_ type: Export.StandardType, _ rowLength: Int) -> Encoding {
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
