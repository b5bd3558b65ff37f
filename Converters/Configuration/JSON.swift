/// What users are told of JSON that is not as expected: where, and what was expected.
extension DecodingError {
    var inWords: String {
        func place(_ context: Context) -> String {
            context.codingPath.isEmpty ? "" : context.codingPath.map(\.stringValue).joined(separator: ".") + ": "
        }
        return switch self {
        case .keyNotFound(let key, let context): "\(place(context))\(key.stringValue) is missing"
        case .typeMismatch(let type, let context): "\(place(context))\(type) expected"
        case .valueNotFound(let type, let context): "\(place(context))\(type) expected, found null"
        case .dataCorrupted(let context):
            "\(place(context))\(context.debugDescription)\(context.underlyingError.map { " \($0)" } ?? "")"
        @unknown default: "\(self)"
        }
    }
}

/// An integer. Of any other number the decoder says that the text is no JSON, and not where it is.
struct JSONInteger: Decodable {
    let value: Int

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        do {
            value = try container.decode(Int.self)
        } catch let error as DecodingError {
            throw error
        } catch {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "an integer of 64 bits expected")
        }
    }
}
