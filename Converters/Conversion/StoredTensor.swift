import Rudolph

/// What a tensor is, for the table of errors.
public enum TensorClass: String, CaseIterable, Sendable {
    case imageTokenizer = "image tokenizer"
    case embeddings = "embeddings"
    case attention = "attention"
    case feedForward = "feed-forward"
    case head = "head"
    case vectors = "norms, biases, positions"
}

/// A matrix whose rows can be read as floats, a few at a time.
protocol RowSource: Sendable {
    var rows: Int { get }
    var columns: Int { get }
    /// Writes the rows `range`, one after the other, to `destination`, which has room for range.count * columns.
    func copy(rows range: Range<Int>, to destination: UnsafeMutablePointer<Float>)
    /// Lets the system take back the memory of what was read.
    func release()
}

extension TensorView: RowSource {}

/// A tensor of a file that is to be written: where its values come from and how they are stored.
struct StoredTensor {
    let name: String
    let kind: TensorClass
    var source: any RowSource
    let encoding: Encoding
    /// In the container, the fastest one first.
    let dimensions: [Int]
    /// Of a matrix that can make up for its rounding errors: itself.
    var input: LayerInput?
    /// The matrix whose inputs are what this matrix's rows, or a vector's elements, make from number `from` on: each can be divided by a factor
    /// that the other's column is multiplied by.
    var feeds: (matrix: LayerInput, from: Int)?

    var rows: Int { source.rows }
    var columns: Int { source.columns }
    var bytes: Int { encoding.bytes(rows: rows, columns: columns) }

    /// The container's type. Panels are bytes to it.
    var type: GGUF.TensorType {
        switch encoding {
        case .f32: .f32
        case .f16: .f16
        case .q8_0: .q8_0
        case .packed: .i8
        }
    }

    /// A matrix; `shape` is its shape, slowest dimension first, where it is not [rows, columns].
    init(_ name: String, _ kind: TensorClass, _ source: some RowSource, _ encoding: Encoding, shape: [Int]? = nil) {
        self.name = name
        self.kind = kind
        self.source = source
        self.encoding = encoding
        if case .packed = encoding {
            self.dimensions = [encoding.bytes(rows: source.rows, columns: source.columns)]
        } else {
            self.dimensions = (shape ?? [source.rows, source.columns]).reversed()
        }
    }

    /// A vector, which is always stored as floats.
    init(vector name: String, _ source: TensorView) {
        self.init(name, .vectors, source.asRow(), .f32, shape: source.shape)
    }
}
