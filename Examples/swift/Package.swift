// swift-tools-version: 6.3
import PackageDescription

// Programs that use the library as any package would. Yours names it by URL and version instead of by path.
let package = Package(
    name: "rudolph-examples",
    dependencies: [.package(name: "rudolph", path: "../..")],
    targets: ["Caption", "Draw", "Ask"].map { name in
        .executableTarget(
            name: name, dependencies: ["Rudolph", "ImageFiles"].map { .product(name: $0, package: "rudolph") })
    },
    swiftLanguageModes: [.v6]
)
