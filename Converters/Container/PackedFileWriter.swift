import Rudolph

/// How far the writing of a file has come.
public struct ConversionProgress: Sendable {
    /// The tensor that is being worked on. Steps of the draft that calibrates a file begin with "draft: ", and each counts by itself.
    public let tensor: String
    /// Values (bytes, when a file is verified; parts of a draft's step) done and to be done.
    public let done: Int
    public let total: Int
}

/// Tensors that are computed from the others: with a file that is complete but for them.
struct ComputedTensors {
    /// Dimensions with the fastest one first.
    let tensors: [(name: String, type: GGUF.TensorType, dimensions: [Int])]
    /// The bytes of each, from the path of that file.
    let compute: (String) throws(ConversionError) -> [[UInt8]]

    func bytes(_ index: Int) -> Int { tensors[index].dimensions.reduce(tensors[index].type.block.bytes, *) }
}

enum PackedFileWriter {
    /// Writes a GGUF file with `metadata`, the digests, `tensors` in order, each with the name of the file it comes from, and `last`. The file
    /// appears when it is complete; until then nothing is under its name, and nothing is left when this throws. `prepare` is called
    /// before each tensor, for what is stored in its place, of the same size, and what its errors can be made up with; `stored` after it with
    /// what its encoding lost; `check` with the path of the file when it is complete but for its name. Returns the file's size.
    static func write(
        _ path: String, metadata: [(key: String, value: MetadataValue)], tensors: [(file: String, tensor: StoredTensor)],
        last: ComputedTensors? = nil, threads: Int, progress: (ConversionProgress) -> Bool,
        prepare: (StoredTensor) throws(ConversionError) -> (StoredTensor, ErrorFeedback?) = { ($0, nil) },
        check: (String) throws(ConversionError) -> Void = { _ in },
        stored: (StoredTensor, Distortion) -> Void = { _, _ in }
    ) throws(ConversionError) -> Int {
        typealias Key = FileSchema.Key
        var header = ContainerHeader()
        header.metadata = metadata
        for (_, tensor) in tensors {
            header.append(name: tensor.name, dimensions: tensor.dimensions, type: tensor.type, bytes: tensor.bytes)
        }
        for (index, tensor) in (last?.tensors ?? []).enumerated() {
            header.append(name: tensor.name, dimensions: tensor.dimensions, type: tensor.type, bytes: last?.bytes(index) ?? 0)
        }
        // Digests have a fixed length, so the header's size is known before they are.
        header.set(Key.tensorHashes, .strings(header.tensors.map { _ in SHA256.noDigest }))
        header.set(Key.headerHash, .string(SHA256.noDigest))
        let file = try AtomicFile(path: path)
        try file.append(header.serialized())

        let total = tensors.reduce(0) { $0 + $1.tensor.rows * $1.tensor.columns }
        let encoder = TensorEncoder(threads: threads, for: tensors.map(\.tensor))
        var done = 0, hashes: [String] = []
        for (source, planned) in tensors {
            var hash = try SHA256()
            let (tensor, feedback) = try prepare(planned)
            let distortion = try encoder.encode(tensor, feedback: feedback, file: source) { (bytes, values) throws(ConversionError) in
                try hash.update(bytes)
                try file.append(bytes)
                done += values
                guard progress(ConversionProgress(tensor: tensor.name, done: done, total: total)) else { throw .cancelled }
            }
            try file.append([UInt8](repeating: 0, count: GGUF.aligned(file.size) - file.size))
            try hashes.append(hash.finish())
            stored(tensor, distortion)
        }
        if let last {
            let starts = try last.tensors.indices.map { (index) throws(ConversionError) in
                let start = file.size
                try file.append([UInt8](repeating: 0, count: GGUF.aligned(last.bytes(index))))
                return start
            }
            for (index, bytes) in try last.compute(file.temporaryPath).enumerated() {
                guard bytes.count == last.bytes(index) else {
                    throw .invalid(file: path, reason: "\(last.tensors[index].name) has \(bytes.count) bytes, expected \(last.bytes(index))")
                }
                try file.write(bytes, at: starts[index])
                try hashes.append(SHA256.hexDigest(bytes))
            }
        }

        header.set(Key.tensorHashes, .strings(hashes))
        header.set(Key.headerHash, try .string(SHA256.hexDigest(header.serialized())))
        try file.write(header.serialized(), at: 0)
        try check(file.temporaryPath)
        try file.commit()
        return file.size
    }
}
