from services.quality.lineage.app import main

if __name__ == "__main__":
    main()
