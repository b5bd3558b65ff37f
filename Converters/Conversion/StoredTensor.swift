/// What a tensor is, for the table of errors.
public enum TensorClass: String, CaseIterable, Sendable {
    case imageTokenizer = "image tokenizer"
    case embeddings = "embeddings"
    case attention = "attention"
    case feedForward = "feed-forward"
    case head = "head"
    case vectors = "norms, biases, positions"
}

/// A tensor of the packed file: where its values come from and how they are stored.
struct StoredTensor {
    let name: String
    let kind: TensorClass
    /// The values as a matrix: the first dimension counts rows, the others together are columns.
    let source: TensorView
    let encoding: Encoding

    var rows: Int { source.rows }
    var columns: Int { source.columns }
    var bytes: Int { encoding.bytes(rows: rows, columns: columns) }

    /// Dimensions and type in the container. Panels are bytes to it.
    var shape: (dimensions: [Int], type: GGUF.TensorType) {
        switch encoding {
        case .f32: (dimensions, .f32)
        case .f16: (dimensions, .f16)
        case .q8_0: (dimensions, .q8_0)
        case .packed: ([bytes], .i8)
        }
    }

    private var dimensions: [Int] { isVector ? [columns] : [columns, rows] }
    private let isVector: Bool

    /// A matrix [rows, ...].
    init(_ name: String, _ kind: TensorClass, _ source: TensorView, _ encoding: Encoding) {
        (self.name, self.kind, self.source, self.encoding, self.isVector) = (name, kind, source, encoding, false)
    }

    /// A vector, which is always stored as floats.
    init(vector name: String, _ kind: TensorClass, _ source: TensorView) {
        (self.name, self.kind, self.source, self.encoding, self.isVector) = (name, kind, source.asRow(), .f32, true)
    }
}
